"""Programs that a scene runs behind its proxy. Each is a script of the standard library, or of dnspython, started by path."""
