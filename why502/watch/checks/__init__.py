"""Active checks: every member of every upstream, asked the way its proxy asks it, and what the results say of it."""
