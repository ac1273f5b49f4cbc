"""Many devices, many hosts: the mesh, what lies where on it, and programs compiled for chips that are not here."""
