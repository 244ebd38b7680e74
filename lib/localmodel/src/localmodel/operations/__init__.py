"""The verbs of the command line, as changes of a model.

They change the model in memory only. A caller saves it when the verb has returned, so that one
that raises has changed nothing. All raise LocalModelError in Juju's own words where Juju has some.
"""
