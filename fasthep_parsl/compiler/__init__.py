"""Join workflow, resources, pools and site into one `Plan`. Pure but for reading input headers; starts nothing."""

from fasthep_parsl.compiler.compile import CompileOptions, compile_workflow

__all__ = ["CompileOptions", "compile_workflow"]
