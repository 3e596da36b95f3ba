"""Compile a workflow and a site into a `Plan`. Pure, except for reading the headers of input files and credentials."""

from fasthep_parsl.compiler.compile import CompileOptions, compile_workflow
from fasthep_parsl.compiler.credentials import Credentials, inspect_credentials
from fasthep_parsl.compiler.first_events import check_limit

__all__ = ["CompileOptions", "Credentials", "check_limit", "compile_workflow", "inspect_credentials"]
