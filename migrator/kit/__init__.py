"""The folder of scripts and lists for what people do outside of this program."""
