class Pipelines:
    pass
