"""What the wire-level tests share: raw clients, scripted servers, a tplb to run, expectations. Standard library only."""
