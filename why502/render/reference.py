"""The reference: a page in Markdown for each cause and gateway, from the same texts that `why502 explain` shows.

`docs/causes` and `docs/gateways` hold these pages, and `why502 serve` shows them. Their links are relative to those directories.
"""

from __future__ import annotations

from why502.diagnosis.causes import CAUSES, PAGES
from why502.explanation import candidates
from why502.gateways.codes import Product, products
from why502.gateways.statuses import STATUSES
from why502.model.patterns import lazy
from why502.model.words import WORDS
from why502.render import contract
from why502.render.explanation import remedy
from why502.render.words import FAULT_DOMAINS

_NAMED = lazy(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`")
_CODE_OR_URL = lazy(r"`[^`]*`|(?<![(<])(?P<url>https?://[^\s,()]+)")

_FIRST_WORDS = frozenset(
    "the allow compare hint request translate firewall run".split()
)  # of a step that is a sentence, not a command


def cause_page(name: str) -> str:
    """Return the page of a cause: its docstring, and where it occurs."""
    cause = CAUSES[name]
    body = _NAMED.sub(
        lambda match: f"[`{match[1]}`]({match[1]}.md)" if match[1] in CAUSES and match[1] != name else match[0],
        PAGES[name].strip(),
    )
    met = [f"- {WORDS.get(symptom, symptom.value.replace('-', ' '))}" for symptom in cause.symptoms]
    codes = [
        f"- [{products()[product].title}](../gateways/{product}.md): {', '.join(f'`{code}`' for code in found)}"
        for product, found in codes_of(name).items()
    ]
    rules = [f"- `{rule.id}` {rule.name}: {rule.message}" for rule in cause.foresee]
    summary, _, rest = body.partition("\n\n")
    parts = [f"# {name}", f"{_linked(summary)} Fault domain: {FAULT_DOMAINS[cause.layer]}.", _linked(rest)]
    parts += ["## Symptoms\n" + "\n".join(met)] if met else []
    parts += ["## Codes\n" + "\n".join(codes)] if codes else []
    parts += ["## Lint rules that predict it\n" + "\n".join(rules)] if rules else []
    return "\n\n".join(parts) + "\n"


def gateway_page(product: Product) -> str:
    """Return the page of a gateway: what its failures look like, its statuses, its codes."""
    parts = [f"# {product.title}", product.about]
    statuses = [
        f"| {status} | {maker.when} | {_causes(maker.causes)} |"
        for status, row in STATUSES.items()
        for maker in row.makers
        if product.name == maker.proxy
    ]
    if statuses:
        parts.append("\n".join(["## Statuses", "", "| status | when | causes |", "| --- | --- | --- |", *statuses]))
    if product.codes:
        rows = [
            f"| `{row.code}` | {row.message} | {row.status or ' '} | {_causes(row.causes)} |" for row in product.codes.values()
        ]
        parts.append(
            "\n".join(["## Codes", "", "| code | meaning | the client gets | causes |", "| --- | --- | --- | --- |", *rows])
        )
    parts.append("\n".join(["## Next steps", "", *(f"- `{step}`" if _is_plain(step) else f"- {step}" for step in product.next)]))
    if product.references:
        parts.append("\n".join(["## References", "", *(f"- {_linked(reference)}" for reference in product.references)]))
    return "\n\n".join(parts) + "\n"


def cause_index() -> str:
    """Return the list of all causes by fault domain."""
    parts = ["# Causes"]
    for layer in dict.fromkeys(cause.layer for cause in CAUSES.values()):
        rows = [f"- [`{name}`]({name}.md): {cause.message}" for name, cause in CAUSES.items() if cause.layer is layer]
        parts.append("\n".join([f"## {FAULT_DOMAINS[layer].capitalize()}", "", *rows]))
    return "\n\n".join(parts) + "\n"


def gateway_index() -> str:
    """Return the list of all gateways, and the statuses."""
    rows = [f"- [{product.title}]({product.name}.md)" for product in products().values()]
    statuses = [
        f"| {code} | {status.title} | {', '.join(maker.proxy for maker in status.makers)} |" for code, status in STATUSES.items()
    ]
    return (
        "\n".join(
            [
                "# Gateways",
                "",
                *rows,
                "",
                "## Which gateway returns which status",
                "",
                "| status | meaning | returned by |",
                "| --- | --- | --- |",
                *statuses,
            ]
        )
        + "\n"
    )


def cause_object(name: str) -> contract.CausePage:
    """Return all that is known of a cause."""
    cause = CAUSES[name]
    return contract.CausePage(
        cause=name,
        layer=cause.layer,
        fault_domain=FAULT_DOMAINS[cause.layer],
        message=cause.message,
        page=PAGES[name].strip(),
        symptoms=[symptom.value for symptom in cause.symptoms],
        codes=codes_of(name),
        next=list(candidates.next_steps(name)),
        remedies=[remedy(one) for one in candidates.remedies(name)],
    )


def gateway_object(product: Product) -> contract.GatewayPage:
    """Return all that is known of a gateway's codes."""
    return contract.GatewayPage(
        proxy=product.name,
        message=product.title,
        about=product.about,
        codes=[
            contract.Code(
                code=row.code,
                message=row.message,
                client_gets=row.status or None,
                gateway_failure=row.is_gateway_failure,
                causes=[name for name in row.causes if name in CAUSES],
            )
            for row in product.codes.values()
        ],
        next=list(product.next),
        references=list(product.references),
    )


def codes_of(name: str) -> dict[str, list[str]]:
    """Return the codes that usually mean a cause, by the name of the gateway."""
    return {
        product.name: found
        for product in products().values()
        if (found := [code for code, row in product.codes.items() if name in row.causes[:3]])
    }


def _causes(names: tuple[str, ...]) -> str:
    return ", ".join(f"[{name}](../causes/{name}.md)" for name in names) or " "


def _linked(text: str) -> str:
    """Return the text with its addresses as links; an address within code stays as it is, so that a command can be copied."""
    return _CODE_OR_URL.sub(lambda match: f"<{match['url']}>" if match["url"] else match[0], text)


def _is_plain(step: str) -> bool:
    return "(" not in step and not step.split(" ", 1)[0].istitle() and step.split(" ", 1)[0] not in _FIRST_WORDS
