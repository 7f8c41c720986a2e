"""`footfall doctor`: what an installation needs, looked at from outside, a finding for each; nothing is changed."""
