# Three instances with names of their own: started one after the other, stopped and
# updated in reverse, and never two of one name.
#   steppe job run examples/stateful.hcl
#   steppe job run -var message=second -var partition=2 examples/stateful.hcl    # db[2] only
#   steppe job run -var message=second examples/stateful.hcl                     # the others
variable "message" {
  default = "first"
}

variable "partition" {
  type    = number
  default = 0
}

job "stateful" {
  update {
    min_healthy_time = "2s"
  }

  group "db" {
    count = 3

    stateful {
      ordered   = true
      partition = var.partition
    }

    disconnect {
      stop_on_client_after = "20s"
    }

    task "say" {
      driver       = "raw_exec"
      kill_timeout = "2s"

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo bye; exit 0' INT TERM; while true; do echo ${var.message} of $NOMAD_ALLOC_INDEX; sleep 1; done"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
