"""Tokens become a tree: a Pratt parser with CEL's precedence and bounds on size and depth."""

from msgspec.structs import replace

from engine.rules.expression.lex import Token, tokens
from engine.rules.expression.tree import (
    Call,
    Infix,
    Items,
    Literal,
    Logic,
    Name,
    Node,
    Path,
    Prefix,
    Ternary,
)
from engine.rules.expression.types import Problem

TEXT_LENGTH_MAX = 4_000  # characters
DEPTH_MAX = 32
TOKENS_MAX = 1_000

_BINDING = {
    "||": 2,
    "&&": 3,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 4),
    **dict.fromkeys(("+", "-"), 5),
    **dict.fromkeys(("*", "/", "%"), 6),
}
_TERNARY = 1
_PREFIX = 7
_WORDS = {"and": "&&", "or": "||", "AND": "&&", "OR": "||", "IN": "in", "is": "=="}
_UNITS = frozenset(
    ("s", "m", "h", "d", "w", "sec", "min", "minute", "minutes", "hour", "hours", "day", "days")
)
_CONSTANTS = {"true": ("bool", True), "false": ("bool", False), "null": ("null", None)}
_FOREIGN = {"None": "null", "True": "true", "False": "false", "nil": "null", "NULL": "null"}


class _Stop(Exception):
    """Nothing sensible can be read beyond this place; the problem has been told."""


def parse(text: str, problems: list[Problem]) -> Node | None:
    """Return the tree of `text`, None where even the beginning cannot be read."""
    if len(text) > TEXT_LENGTH_MAX:
        message = f"the expression has {len(text)} characters, at most {TEXT_LENGTH_MAX} may be"
        problems.append(Problem(0, 1, "E120", message, "split it into several rules"))
        return None
    found = tokens(text, problems)
    if len(found) > TOKENS_MAX:
        message = f"the expression has {len(found)} words and signs, at most {TOKENS_MAX} may be"
        problems.append(Problem(0, 1, "E120", message, "split it into several rules"))
        return None
    try:
        return _Parser(found, problems).whole()
    except _Stop:
        return None


class _Parser:
    """Reads one list of tokens once, from the left."""

    def __init__(self, found: list[Token], problems: list[Problem]) -> None:
        self.tokens = found
        self.problems = problems
        self.index = 0
        self.token = found[0]  # the one at `index`
        self.depth = 0

    def whole(self) -> Node:
        if self.token.kind == "end":
            self.stop(self.token, "E110", "there is no expression", "")
        node = self.expression(0)
        token = self.token
        if token.kind != "end":
            hint = (
                "write 90m for 90 minutes"
                if node.end + 1 == token.start
                and (token.text in _UNITS and self.tokens[self.index - 1].kind == "int")
                else ""
            )
            self.tell(token, "E111", f"unexpected '{token.text}' after a complete expression", hint)
        return node

    def tell(self, token: Token, code: str, message: str, hint: str) -> None:
        length = max(token.end - token.start, 1)
        self.problems.append(Problem(token.start, length, code, message, hint))

    def stop(self, token: Token, code: str, message: str, hint: str) -> None:
        self.tell(token, code, message, hint)
        raise _Stop

    def take(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.advance()
        return token

    def advance(self) -> None:
        self.index += 1
        self.token = self.tokens[self.index]

    def accept(self, sign: str) -> bool:
        if self.token.text == sign and self.token.kind == "operator":
            self.advance()
            return True
        return False

    def close(self, sign: str, opening: Token) -> int:
        """Take the sign that closes a bracket; return where it ends."""
        if self.accept(sign):
            return self.tokens[self.index - 1].end
        token = self.token
        if token.kind == "end":
            self.stop(opening, "E118", f"'{opening.text}' is never closed", f"add {sign}")
        self.stop(token, "E119", f"'{token.text}' where {sign} was expected", "")
        raise AssertionError

    def expression(self, binding: int) -> Node:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self.stop(
                self.token, "E121", f"nested deeper than {DEPTH_MAX}", "split it into several rules"
            )
        left = self.prefix()
        while (operator := self.infix_operator()) and (
            binds := _TERNARY if operator == "?" else _BINDING[operator]
        ) > binding:
            at = self.take()
            if operator == "?":
                left = self.ternary(left)
            elif operator in ("&&", "||"):
                left = self.logic(left, operator, binds)
            else:
                right = self.expression(binds)
                left = self.bounded(
                    Infix(
                        operator, left, right, at.start, left.start, right.end, _over(left, right)
                    )
                )
        self.depth -= 1
        return left

    def infix_operator(self) -> str:
        """Return the operator at this place, '' if none; words for signs are told and read."""
        token = self.token
        if token.kind == "operator":
            return token.text if token.text in _BINDING or token.text == "?" else ""
        if token.kind != "name":
            return ""
        if token.text == "in":
            return "in"
        if token.text == "not":
            self.tell(
                token, "E111", "unexpected 'not' after a complete expression", "write !(a in b)"
            )
            self.take()
            return self.infix_operator()
        if (sign := _WORDS.get(token.text)) is None:
            return ""
        message = f"unexpected '{token.text}' after a complete expression"
        self.tell(token, "E111", message, f"write {sign} for {token.text}")
        self.token = self.tokens[self.index] = replace(token, kind="operator", text=sign)
        return sign

    def bounded(self, node: Node) -> Node:
        if node.height > DEPTH_MAX:
            self.stop(
                self.tokens[self.index - 1],
                "E121",
                f"nested deeper than {DEPTH_MAX}",
                "split it into several rules",
            )
        return node

    def ternary(self, condition: Node) -> Node:
        yes = self.expression(0)
        if not self.accept(":"):
            token = self.token
            message = f"'{token.text}' where : was expected"
            if token.kind == "end":
                message = "the end where : was expected"
            self.stop(token, "E119", message, "write a ? b : c")
        no = self.expression(0)
        height = _over(condition, yes, no)
        return self.bounded(Ternary(condition, yes, no, condition.start, no.end, height))

    def logic(self, left: Node, operator: str, binds: int) -> Node:
        right = self.expression(binds)
        operands: tuple[Node, ...] = (left,)
        if isinstance(left, Logic) and left.operator == operator:
            operands = left.operands
        operands = (*operands, right)
        return self.bounded(Logic(operator, operands, left.start, right.end, _over(*operands)))

    def prefix(self) -> Node:
        token = self.take()
        if token.kind in ("int", "double", "string", "duration"):
            return self.postfix(Literal(token.kind, token.value, token.start, token.end))
        if token.kind == "name":
            return self.named(token)
        if token.kind == "operator":
            if token.text in ("!", "-"):
                return self.signed(token)
            if token.text == "(":
                node = self.expression(0)
                self.close(")", token)
                return self.postfix(node)
            if token.text == "[":
                items, end = self.arguments("]", token)
                return self.postfix(self.bounded(Items(items, token.start, end, _over(*items))))
        shown = f"'{token.text}'" if token.text else "the end"
        self.stop(token, "E110", f"{shown} where a value was expected", "")
        raise AssertionError

    def signed(self, sign: Token) -> Node:
        operand = self.expression(_PREFIX)
        if sign.text == "-" and isinstance(operand, Literal) and operand.kind in ("int", "double"):
            return Literal(operand.kind, -operand.value, sign.start, operand.end)
        return self.bounded(Prefix(sign.text, operand, sign.start, operand.end, _over(operand)))

    def named(self, token: Token) -> Node:
        if token.text in ("not", "NOT"):
            self.tell(token, "E111", f"'{token.text}' is no operator", "write ! for not")
            return self.signed(replace(token, kind="operator", text="!"))
        if (meant := _FOREIGN.get(token.text)) is not None:
            self.tell(token, "E110", f"'{token.text}' is no value", f"write {meant}")
            token = replace(token, text=meant)
        if token.text in _CONSTANTS:
            kind, value = _CONSTANTS[token.text]
            return self.postfix(Literal(kind, value, token.start, token.end))
        name = Name(token.text, token.start, token.end)
        opening = self.token
        if self.accept("("):
            arguments, end = self.arguments(")", opening)
            height = _over(*arguments)
            return self.postfix(self.bounded(Call(name, None, arguments, token.start, end, height)))
        return self.postfix(Path((name,), token.start, token.end))

    def postfix(self, node: Node) -> Node:
        while True:
            if self.token.text == "[" and self.token.kind == "operator":
                hint = "write event.value for a field"
                self.stop(self.token, "E119", "'[' after a complete value", hint)
            if not self.accept("."):
                return node
            token = self.take()
            if token.kind != "name":
                message = f"'{token.text}' where a name was expected after ."
                if token.kind == "end":
                    message = "the end where a name was expected after ."
                self.stop(token, "E119", message, "")
            name = Name(token.text, token.start, token.end)
            opening = self.token
            if self.accept("("):
                arguments, end = self.arguments(")", opening)
                height = _over(node, *arguments)
                node = self.bounded(Call(name, node, arguments, node.start, end, height))
            elif isinstance(node, Path):
                node = Path((*node.parts, name), node.start, name.end)
            else:
                self.stop(token, "E119", f"a value has no field '{token.text}'", "")

    def arguments(self, closing: str, opening: Token) -> tuple[tuple[Node, ...], int]:
        found: list[Node] = []
        while not (self.token.kind == "operator" and self.token.text == closing):
            found.append(self.expression(0))
            if not self.accept(","):
                break
        return tuple(found), self.close(closing, opening)


def _over(*nodes: Node) -> int:
    height = 0
    for node in nodes:
        if node.height > height:
            height = node.height
    return height + 1
