"""The graph of a plan as Mermaid text."""

from __future__ import annotations

from fasthep_parsl.plan import Plan


def mermaid(plan: Plan) -> str:
    """Return the graph of stages, grouped by segment, as Mermaid text."""
    nodes = {"": "source"} | {stage.id: f"n{number}" for number, stage in enumerate(plan.stages)}
    lines = [
        "flowchart TD",
        f'  source[("{_label(plan.source.name)}<br/>{plan.extent or f"{plan.entries:,} events"}")]',
    ]
    for segment in plan.segments:
        lines.append(f'  subgraph s{segment.id}["segment {segment.id} · pool {_label(segment.pool)}"]')
        for name in segment.stages:
            stage = plan.stage(name)
            left, right = ("[", "]") if stage.stream else ("([", "])")
            lines.append(f'    {nodes[name]}{left}"{_label(name)}<br/>{_label(stage.op)}"{right}')
        lines.append("  end")
    for stage in plan.stages:
        target = nodes[stage.id]
        lines.append(f"  {nodes[stage.input]} --> {target}")
        lines += [f"  {nodes[bind.node]} -.->|{_label(bind.port)}| {target}" for bind in stage.bind]
        others = set(stage.needs) - {stage.input} - {bind.node for bind in stage.bind}
        lines += [f"  {nodes[node]} -.-> {target}" for node in sorted(others)]
    return "\n".join(lines)


def _label(text: str) -> str:
    """Return `text` with the special characters of a quoted Mermaid label escaped."""
    return "".join(f"#{ord(char)};" if char in '"#&<>`|\\' else char for char in text)
