"""Lint findings as JUnit XML, which every CI server shows: a suite for each file, a failed test for each finding.

Notes are not failures: they are passed tests with the message as output. A file without findings is one passed test.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from why502.linter.report import Report
from why502.model.finding import Risk, Severity
from why502.model.patterns import lazy
from why502.redaction import redact
from why502.render.words import Terminal

_NOT_XML = lazy("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def render(report: Report, terminal: Terminal) -> str:
    """Return one XML document with a line feed."""
    suites = ET.Element("testsuites", name="why502 lint")
    by_file: dict[str, list[Risk]] = {}
    for risk in report.risks:
        by_file.setdefault(report.name(risk.at.file) if risk.at else "", []).append(risk)
    for file, risks in by_file.items():
        failed = [risk for risk in risks if risk.severity is not Severity.NOTE]
        suite = ET.SubElement(suites, "testsuite", name=_text(file), tests=str(len(risks)), failures=str(len(failed)))
        for risk in risks:
            _case(suite, file, risk, report)
    if not by_file:
        suite = ET.SubElement(suites, "testsuite", name="why502 lint", tests="1", failures="0")
        ET.SubElement(suite, "testcase", name=f"{report.files} files without findings", classname="why502.lint")
    total = {
        "tests": sum(len(risks) for risks in by_file.values()) or 1,
        "failures": len(report.risks) - report.count(Severity.NOTE),
    }
    suites.attrib.update({name: str(count) for name, count in total.items()})
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, file: str, risk: Risk, report: Report) -> None:
    where = f"{file}:{risk.at.line}" if risk.at else file
    case = ET.SubElement(
        suite, "testcase", name=_text(f"{risk.rule} {report.rule(risk.rule).name} {where}"), classname=_text(file or "why502")
    )
    words = _text(
        "\n".join((f"{where}: {risk.message}", *(f"-> {remedy.message}" for remedy in risk.remedies), f"leads to {risk.cause}"))
    )
    if risk.severity is Severity.NOTE:
        ET.SubElement(case, "system-out").text = words
    else:
        ET.SubElement(case, "failure", message=_text(risk.message), type=(risk.severity or Severity.NOTE).value).text = words


def _text(text: str) -> str:
    return _NOT_XML.sub("�", redact(text))
