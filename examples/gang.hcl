# A gang: both instances run, or none, and neither for longer than a minute.
job "gang" {
  type = "batch"

  group "train" {
    count            = 2
    max_run_duration = "1m"

    gang {
      max_partial = "30s" # how long one may go on without the other
    }

    task "worker" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo worker $NOMAD_ALLOC_INDEX of 2"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
