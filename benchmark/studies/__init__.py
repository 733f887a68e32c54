"""Studies: experiments, forget quality, soundness and slack of certificates, audits, timings."""
