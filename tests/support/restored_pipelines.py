class Pipelines: pass
