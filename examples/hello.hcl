# The smallest useful job: one task that says hello every second.
#   steppe job run examples/hello.hcl
job "hello" {
  group "greeters" {
    task "greet" {
      driver = "raw_exec" # a plain process of this machine

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo \"hello from $NOMAD_ALLOC_NAME on ${node.unique.name}\"; sleep 1; done"]
      }

      resources {
        cpu    = 50 # MHz
        memory = 32 # MB
      }
    }
  }
}
