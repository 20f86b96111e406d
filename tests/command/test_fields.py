#!/usr/bin/python3
"""Problems on meshes as a user meets them: reading, refusing, resuming, and what ParaView and plots are given."""

import json
import os
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import h5py
import numpy as np
from support import CommandTest

MESH = ["problem.family=control", "problem.name=mesh-control", "problem.mesh=plate.msh", "problem.beta=1e-3"]
HEAD = "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n"


def plate(n=6):
    """A square of n x n cells, cut into triangles, sides tagged 1 to 4, as Gmsh text."""
    number = lambda i, j: 1 + i + (n + 1) * j
    nodes = [f"{number(i, j)} {i / n} {j / n} 0" for j in range(n + 1) for i in range(n + 1)]
    elements = []
    for k in range(n):
        for tag, a, b in ((1, (0, k), (0, k + 1)), (2, (n, k), (n, k + 1)), (3, (k, 0), (k + 1, 0)),
                          (4, (k, n), (k + 1, n))):
            elements.append(f"1 2 {tag} {tag} {number(*a)} {number(*b)}")
    for j in range(n):
        for i in range(n):
            a, b, c, d = number(i, j), number(i + 1, j), number(i + 1, j + 1), number(i, j + 1)
            elements += [f"2 2 9 9 {a} {b} {c}", f"2 2 9 9 {a} {c} {d}"]
    body = "\n".join(f"{k + 1} {line}" for k, line in enumerate(elements))
    return (f"{HEAD}$Nodes\n{len(nodes)}\n" + "\n".join(nodes) + f"\n$EndNodes\n$Elements\n{len(elements)}\n{body}\n"
            "$EndElements\n")


class OnMeshes(CommandTest):
    def setUp(self):
        super().setUp()
        (self.folder / "plate.msh").write_text(plate())

    def read_back(self, directory, grid=None):
        """The arrays of an XDMF file (or of one grid in it) by what they are; every size stated must be that of the data."""
        if grid is None:
            grid = ElementTree.parse(self.folder / directory / "solution.xdmf").getroot().find("Domain/Grid")
        self.assertEqual(grid.get("GridType"), "Uniform")

        def item(element):
            if element.get("Format") == "XML":
                return np.array([float(x) for x in element.text.split()])
            name, path = element.text.strip().split(":")
            with h5py.File(self.folder / directory / name, "r") as file:
                values = file[path][()]
            stated = [int(x) for x in element.get("Dimensions").split()]
            self.assertEqual(values.size, int(np.prod(stated)), path)
            self.assertEqual(values.dtype.itemsize, int(element.get("Precision")))
            self.assertEqual(values.dtype.kind, {"Float": "f", "Int": "i"}[element.get("NumberType")])
            return values
        topology = grid.find("Topology")
        cells = [item(x) for x in topology.findall("DataItem")]
        points = [item(x) for x in grid.find("Geometry").findall("DataItem")]
        fields = {a.get("Name"): item(a.find("DataItem")) for a in grid.findall("Attribute")}
        return topology, cells, points, fields

    def test_unstructured_output(self):
        self.solve(*MESH, "problem.degree=2", "problem.target=sines", "stop.tolerance=1e-8", ranks=3)
        ended = self.command("export", "run.h5", "--xdmf", "out", "--csv", "table", ranks=2)
        self.assertEqual(ended.code, 0, ended.err)
        topology, (cells,), (points,), fields = self.read_back("out")
        self.assertEqual(topology.get("TopologyType"), "Triangle_6")
        self.assertEqual(cells.shape, (72, 6))
        self.assertEqual(len(points), 13 * 13)
        self.assertEqual(sorted(np.unique(cells)), list(range(len(points))))
        area = 0.0
        for cell in cells:
            p = points[cell]
            area += 0.5 * abs(np.cross((p[1] - p[0])[:2], (p[2] - p[0])[:2]))
            for middle, (a, b) in zip(p[3:], ((0, 1), (1, 2), (2, 0))):
                np.testing.assert_allclose(middle, 0.5 * (p[a] + p[b]), atol=1e-14)
        self.assertAlmostEqual(area, 1.0, places=12)
        exact = np.prod(np.sin(np.pi * points[:, :2]), axis=1) / (1 + 4e-3 * np.pi ** 4)
        np.testing.assert_allclose(fields["state"], exact, atol=2e-3)
        table = np.genfromtxt(self.folder / "table" / "solution.csv", delimiter=",", names=True)
        np.testing.assert_allclose(table["state"], fields["state"], rtol=1e-14)
        np.testing.assert_allclose(table["x"], points[:, 0], rtol=1e-14)
        picture = self.command("plot", "run.h5", "--fields", "-o", "fields.png", ranks=2)
        self.assertEqual(picture.code, 0, picture.err)
        self.assertEqual((self.folder / "fields.png").read_bytes()[:4], b"\x89PNG")

    def test_structured_output(self):
        for dimension in (2, 3):
            self.solve("problem.family=control", "problem.name=poisson-control", "problem.cells=8",
                       f"problem.dimension={dimension}", "problem.target=sines", out=f"box{dimension}.h5", ranks=2)
            self.assertEqual(self.command("export", f"box{dimension}.h5", "--xdmf", f"b{dimension}", ranks=3).code, 0)
            topology, _, axes, fields = self.read_back(f"b{dimension}")
            self.assertEqual(topology.get("Dimensions").split(), ["9" if dimension == 3 else "1", "9", "9"])
            shape = [len(axis) for axis in axes if len(axis) > 1]
            self.assertEqual(shape, [9] * dimension)
            state = fields["state"].reshape(shape)
            waves = np.sin(np.pi * axes[0])
            product = np.multiply.outer(waves, waves) if dimension == 2 else \
                np.multiply.outer(np.multiply.outer(waves, waves), waves)
            middle = state[(4,) * dimension]
            np.testing.assert_allclose(state, middle * product, atol=1e-4 * middle)
            np.testing.assert_allclose(axes[0], np.linspace(0, 1, 9), atol=1e-14)

    def test_output_of_a_series_in_time(self):
        self.solve("problem.family=control", "problem.name=heat-control", "problem.cells=8", "problem.steps=6",
                   "stop.tolerance=1e-6", ranks=2)
        self.assertEqual(self.command("export", "run.h5", "--xdmf", "out", ranks=3).code, 0)
        series = ElementTree.parse(self.folder / "out" / "solution.xdmf").getroot().find("Domain/Grid")
        self.assertEqual((series.get("GridType"), series.get("CollectionType")), ("Collection", "Temporal"))
        grids = series.findall("Grid")
        self.assertEqual(len(grids), 6)
        before = None
        for k, grid in enumerate(grids):
            self.assertAlmostEqual(float(grid.find("Time").get("Value")), (k + 1) / 6)
            _, _, axes, fields = self.read_back("out", grid)
            self.assertEqual(sorted(fields), ["control", "state"])
            # One Euler step, on the interior: (y - before)/dt - y_xx = u.
            y, u = fields["state"][1:-1], fields["control"][1:-1]
            laplace = np.diff(fields["state"], 2) * 64
            np.testing.assert_allclose((y - (0 if before is None else before)) * 6 - laplace, u, atol=1e-8)
            before = y

    def test_output_of_a_coefficient(self):
        self.solve("problem.family=control", "problem.name=coefficient", "problem.cells=8", "stop.tolerance=1e-6", ranks=2)
        self.assertEqual(self.command("export", "run.h5", "--xdmf", "out", "--csv", "table", ranks=3).code, 0)
        topology, (cells,), (points,), fields = self.read_back("out")
        self.assertEqual((topology.get("TopologyType"), cells.shape), ("Triangle", (128, 3)))
        table = np.genfromtxt(self.folder / "table" / "coefficient.csv", delimiter=",", names=True)
        np.testing.assert_allclose(fields["control"], table["m"], rtol=1e-14)
        np.testing.assert_allclose(points[:, 1], table["y"], atol=1e-14)
        on_boundary = np.any((points[:, :2] == 0) | (points[:, :2] == 1), axis=1)
        self.assertEqual(np.abs(fields["state"][on_boundary]).max(), 0.0)
        self.assertGreater(fields["state"][~on_boundary].min(), 0.0)
        self.assertEqual(self.command("plot", "run.h5", "--fields", "-o", "fields.png", ranks=1).code, 0)

    def test_all_at_once_and_bounded_states(self):
        case = [*MESH, "problem.refine=1", "stop.tolerance=1e-9"]
        reduced = self.solve(*case, out="reduced.h5", ranks=1)
        both = self.solve(*case, "method.name=all-at-once", out="both.h5", ranks=3)
        self.assertLess(both["iterations"], 50)
        self.assertAlmostEqual(both["certificate"]["cost"] / reduced["certificate"]["cost"], 1.0, delta=1e-8)
        self.assertEqual(self.command("verify", "both.h5", ranks=2).code, 0)
        bounded = self.solve(*case[:-1], "problem.upper=0.01", "stop.tolerance=1e-4", out="bounded.h5", ranks=2)
        self.assertGreater(bounded["certificate"]["cost"], reduced["certificate"]["cost"])
        self.assertLess(bounded["certificate"]["complementarity_relative"], 1e-3)
        self.assertEqual(self.command("verify", "bounded.h5", ranks=1).code, 0)
        for keys, words in ((["problem.upper=-1"], "below 0"), (["problem.upper=0.1", "problem.cubic=1"], "linear equation"),
                            (["method.name=all-at-once", "problem.advection=[1, 0]"], "without advection")):
            ended = self.command("solve", *MESH, *keys, "--quiet", ranks=2)
            self.assertEqual(ended.code, 2, ended.err)
            self.assertIn(words, ended.err)

    def test_resumes_on_another_number_of_ranks(self):
        case = [*MESH, "problem.cubic=3", "method.name=lbfgs", "stop.tolerance=1e-8"]
        whole = self.solve(*case, ranks=1)
        stopped = self.command("solve", *case, "stop.max_iterations=4", "--checkpoint", "saved", "--quiet", ranks=2)
        self.assertEqual(stopped.code, 4, stopped.err)
        resumed = self.command("solve", "stop.max_iterations=1000", "--resume", "saved", "--json", "resumed.json",
                               "--quiet", ranks=3)
        self.assertEqual(resumed.code, 0, resumed.err)
        facts = json.loads((self.folder / "resumed.json").read_text())
        self.assertAlmostEqual(facts["objective"] / whole["objective"], 1.0, delta=1e-10)

    def test_bounds_of_the_state(self):
        facts = self.solve("problem.family=control", "problem.name=state-constrained", "problem.cells=24", ranks=2)
        # The multiplier is the weight, up to 1e7 here, times a difference of states: rounding times the weight.
        self.assertLess(facts["certificate"]["adjoint_residual_relative"], 1e-5)
        self.assertLess(facts["certificate"]["state_error_l2"], 5e-3)
        self.assertEqual(self.command("verify", "run.h5", ranks=1).code, 0)

    @unittest.skipIf(os.geteuid() != 0, "a small file system can be mounted by root alone")
    def test_a_full_disk_is_one_message(self):
        self.solve(*MESH, "stop.tolerance=1e-6")
        full = self.folder / "full"
        full.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", full], capture_output=True, check=False).returncode:
            self.skipTest("a small file system cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", full], check=False)
        for ranks in (1, 3):
            self.refuse(6, ["solution.h5", "No space left on device"], "export", "run.h5", "--xdmf", "full/out", "--overwrite",
                        ranks=ranks)

    def test_check_tests_the_derivatives(self):
        ended = self.command("check", *MESH, "problem.cubic=3", "problem.advection=[1.0, 2.0]", ranks=2)
        self.assertEqual(ended.code, 0, ended.out + ended.err)
        self.assertIn("order of its remainder with j'' (3)", ended.out)
        self.assertNotIn("FAILED", ended.out)

    def test_bad_input(self):
        (self.folder / "cut.msh").write_text(plate()[:300])
        (self.folder / "mixed.msh").write_text(
            HEAD + "$Nodes\n5\n1 0 0 0\n2 1 0 0\n3 1 1 0\n4 0 1 0\n5 2 0 0\n$EndNodes\n$Elements\n2\n"
            "1 3 2 1 1 1 2 3 4\n2 2 2 1 1 2 5 3\n$EndElements\n")
        for keys, code, words in (
                (["problem.mesh=cut.msh"], 3, "cut.msh"), (["problem.mesh=mixed.msh"], 3, "triangles alone"),
                (["problem.mesh=none.msh"], 3, "no such mesh file"), (["problem.dirichlet=[17]"], 2, "has the tag 17"),
                (["problem.beta=0"], 2, "beta"), (["problem.region=[0, 1]"], 2, "problem.region"),
                (["problem.points=[0.5, 3.0]"], 2, "outside the mesh"), (["problem.advection=[1]"], 2, "advection"),
                (["petsc.stat_ksp_rtol=1"], 2, "petsc.stat_ksp_rtol"),
                (["problem.solver=multigrid", "petsc.state_ksp_max_it=1"], 4, "KSP_DIVERGED_ITS|DIVERGED_ITS")):
            with self.subTest(keys=keys):
                ended = self.command("solve", *MESH, *keys, "--quiet", ranks=3, seconds=60)
                self.assertEqual(ended.code, code, ended.err)
                self.assertRegex(ended.err, words)


if __name__ == "__main__":
    unittest.main()
