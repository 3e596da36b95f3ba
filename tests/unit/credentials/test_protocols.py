"""Shell lines: the client of XRootD uses the protocols of the listed credentials, in any order of them."""

from __future__ import annotations

import os
import subprocess

import pytest

from fasthep_parsl.credentials.scitoken import SciToken
from fasthep_parsl.credentials.x509 import X509


@pytest.mark.parametrize(
    ("kinds", "environ", "expected"),
    [
        ((X509,), {}, "gsi,krb5,sss,unix,host"),
        ((SciToken,), {}, "ztn,krb5,sss,unix,host"),
        ((SciToken, X509), {}, "ztn,gsi,krb5,sss,unix,host"),
        ((X509, SciToken), {"XrdSecPROTOCOL": "gsi"}, "gsi"),
    ],
)
def test_protocols(tmp_path, kinds, environ, expected):
    lines = [line for kind in kinds for line in kind().worker_setup().worker_init]
    script = "\n".join(["set -eu", *lines, 'printf %s "$XrdSecPROTOCOL"'])
    environ = {"PATH": os.environ["PATH"], "FASTHEP_PARSL_SECRETS": str(tmp_path), **environ}
    done = subprocess.run(["/bin/bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == expected
