"""The pages, a module per subject; each function takes a request and gives a response."""
