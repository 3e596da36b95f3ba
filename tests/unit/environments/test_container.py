"""Environment ``container``: which images, programs and folders are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fasthep_parsl import registry
from fasthep_parsl.environments.container import Container
from fasthep_parsl.plan import PlanContainer
from fasthep_parsl.setup_folder import SetupFolder


def test_it_is_found_by_name():
    assert registry.load("environments", "container") is Container


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("docker://rootproject/root:6.32", "docker://rootproject/root:6.32"),
        ("ghcr.io/fast-hep/analysis:1.0", "docker://ghcr.io/fast-hep/analysis:1.0"),
        ("localhost:5000/a@sha256:" + "0" * 64, "docker://localhost:5000/a@sha256:" + "0" * 64),
        ("oras://ghcr.io/me/a:1", "oras://ghcr.io/me/a:1"),
        ("osdf:///ospool/ap40/data/me/a.sif", "osdf:///ospool/ap40/data/me/a.sif"),
        ("/cvmfs/unpacked.cern.ch/registry/a:latest/", "/cvmfs/unpacked.cern.ch/registry/a:latest"),
        ("/shared/my analysis.sif", "/shared/my analysis.sif"),
    ],
)
def test_images(written, image):
    container = Container(image=written)
    assert container.worker_setup().container == PlanContainer(image=image, runtime="site")
    assert container.prepare(SetupFolder(Path("run"))) is None


@pytest.mark.parametrize(
    "image",
    ["", "a.sif", "./a", "../a.sif", "~/a.sif", "file:///a.sif", "docker://", "docker://a b", "a b", "$IMAGE", None],
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ValidationError):
        Container(image=image)


@pytest.mark.parametrize("python", ["python3", "python3.12", "/opt/conda/bin/python"])
def test_python_is_a_name_or_a_path_in_the_image(python):
    assert Container(image="a", python=python).worker_setup().python == python


@pytest.mark.parametrize("python", ["bin/python", "/opt/", "", None])
def test_other_pythons_are_refused(python):
    with pytest.raises(ValidationError):
        Container(image="a", python=python)


def test_folders_to_mount():
    bind = ["/cvmfs", "/data:/inside", "/data:/inside:ro", "/eos:ro"]
    assert Container(image="a", bind=bind).worker_setup().container.bind == tuple(bind)
    assert Container(image="a", bind="/cvmfs").bind == ("/cvmfs",)
    assert Container(image="a", bind=None).bind == ()
    for wrong in ("cvmfs", "/a,/b", "/a:b", "/a:/b:/c", "/a:/b:rx", "ro"):
        with pytest.raises(ValidationError, match="cannot be mounted"):
            Container(image="a", bind=[wrong])


def test_only_known_runtimes_are_taken():
    assert Container(image="a", runtime="podman").worker_setup().container.runtime == "podman"
    with pytest.raises(ValidationError):
        Container(image="a", runtime="shifter")
