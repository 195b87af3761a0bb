"""Perl: the interpreter, Mojolicious and PSGI servers."""
