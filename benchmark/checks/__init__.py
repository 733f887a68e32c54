"""The contract of methods as checks that anybody can run on theirs."""
