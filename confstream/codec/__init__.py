"""FORMAT.md in code: the objects of a replica as bytes, and back.

Pure. Decoders refuse unknown versions and kinds by name, cap every size before
they allocate, and raise nothing but ``IntegrityError``.
"""
