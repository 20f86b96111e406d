#!/bin/bash
# source fabrics.sh NAME: what Open MPI needs on a network. Add your cluster here: modules to load, MCA settings.
case ${1:-default} in
  default)
    ;;
  ethernet)
    # TCP between nodes, shared memory inside one; name the interface that carries the traffic where there are several.
    export OMPI_MCA_btl=self,vader,tcp
    ;;
  infiniband)
    export OMPI_MCA_pml=ucx OMPI_MCA_osc=ucx
    ;;
  omni-path)
    export OMPI_MCA_pml=cm OMPI_MCA_mtl=ofi
    ;;
  container)
    # A process may not read another one's memory here, and Open MPI would complain at every message.
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
    ;;
  *)
    echo "fabrics.sh: no fabric '$1'" >&2
    exit 2
    ;;
esac
