"""Presents what `pulumi preview --json` prints to people: as a comment, as a page, and as the reasons why a nightly
preview is not empty.

Pure functions from the engine's text to Markdown and HTML; secrets are removed when the text is read. Only `publish`
reaches the network; `environments` tells which environments a change is previewed in.
"""
