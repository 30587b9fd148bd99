"""Long lines are broken as ruff breaks them."""

from __future__ import annotations

from hypernas.standalone.wrapping import wrapped


def test_long_lines_break_at_the_last_brackets() -> None:
    call = "y = f(" + ", ".join(f"argument{i}[0, 1]" for i in range(8)) + ")"
    assert wrapped(call)[0] == "y = f("
    assert wrapped(call)[-1] == ")"
    assert "".join(wrapped(call)).replace(" ", "").replace(",)", ")") == call.replace(" ", "")
