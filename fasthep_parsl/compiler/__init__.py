"""Compile a workflow and a site into a `Plan`. Pure, except for reading the headers of input files."""

from fasthep_parsl.compiler.compile import CompileOptions, compile_workflow

__all__ = ["CompileOptions", "compile_workflow"]
