"""httpd's configuration: text ⇄ lossless tree (`parse`), directives in force (`directives`), and what they mean (`load`)."""

from why502.config.configuration import Configuration
from why502.gateways.apache.config.load import load, together
from why502.gateways.apache.config.match import finder
from why502.gateways.apache.config.parse import parse

__all__ = ["Configuration", "finder", "load", "parse", "together"]
