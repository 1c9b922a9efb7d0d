"""`sec-rl --version`: its own version, and those that decide figures."""

from __future__ import annotations


def version_text() -> str:
    """Return a line per thing that a report of a fault should name."""
    from sec_rl.measurement.machine import describe_machine, usable_cores

    machine = describe_machine(usable_cores())
    versions = dict(machine["versions"])
    lines = [f"sec-rl {versions.pop('sec_rl')}", f"Python {machine['python']}"]
    lines += [f"{name} {version}" for name, version in versions.items()]
    lines.append(f"{machine['cpu']}, {machine['cores']} usable cores ({', '.join(machine['instruction_sets'])})")
    lines.append(machine["system"])
    return "\n".join(lines)
