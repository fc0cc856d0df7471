"""Methods that find directions, each declared in a file of its own by `@method("name")`."""
