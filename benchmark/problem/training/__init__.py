"""Training algorithms: how a problem's weights come about."""
