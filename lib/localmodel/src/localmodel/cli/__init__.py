"""Two commands: `juju`, a subset spelled as Juju's, and `localmodel`, what is only ours."""
