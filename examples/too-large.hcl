# A job that fits nowhere: it asks for more memory than a machine has. Steppe
# says why, and what would help.
job "too-large" {
  group "giant" {
    task "t" {
      driver = "raw_exec"

      config {
        command = "/bin/sleep"
        args    = ["3600"]
      }

      resources {
        cpu    = 100
        memory = 9000000 # MB
      }
    }
  }
}
