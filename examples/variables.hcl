# Variables, locals, functions and a dynamic block.
#   steppe job run -var copies=2 -var 'names=["x","y"]' examples/variables.hcl
variable "copies" {
  type        = number
  default     = 1
  description = "How many instances to run."

  validation {
    condition     = var.copies > 0
    error_message = "Run at least one copy."
  }
}

variable "names" {
  type    = list(string)
  default = ["ada", "grace"]
}

locals {
  greeting = join(" and ", [for n in var.names : title(n)])
}

job "variables" {
  group "all" {
    count = var.copies

    dynamic "task" {
      for_each = var.names
      labels   = ["greet-${task.value}"]

      content {
        driver = "raw_exec"

        config {
          command = "/bin/sh"
          args    = ["-c", "echo Dear ${local.greeting}, ${task.value} first; exec sleep 3600"]
        }

        resources {
          cpu    = 20
          memory = 16
        }
      }
    }
  }
}
