# A service that is updated one instance after the other: change the message,
# run it again, and watch.
#   steppe job run -var message=second examples/update.hcl
variable "message" {
  default = "first"
}

job "update" {
  update {
    max_parallel     = 1
    min_healthy_time = "2s"
  }

  group "app" {
    count = 3

    task "say" {
      driver       = "raw_exec"
      kill_timeout = "2s"

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo bye; exit 0' INT TERM; while true; do echo ${var.message}; sleep 1; done"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
