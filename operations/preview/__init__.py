"""What `pulumi preview --json` says, for people: a comment, a page, and the reason why a nightly preview is not empty.

Pure functions from the engine's text to Markdown and HTML; whatever is secret in it is taken out where it is read.
`publish` alone reaches anything, and `environments` is what a change is previewed in.
"""
