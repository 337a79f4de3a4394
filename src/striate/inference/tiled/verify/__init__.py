"""The certificate: tiles compared with the untouched module."""
