"""How the tiny LMM and the tiny SAM that ship with the project are made."""
