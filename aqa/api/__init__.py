"""aqa from Python: the verbs, with data at hand or in files; `import aqa` leads here."""
