variable "x" {
  type    = number
  default = 2
  validation {
    condition     = var.x > 0
    error_message = "x must be above 0."
  }
}

variables { image = "redis" }

locals {
  ports = { http = 80, db = 0 }
  name  = "${upper("a")}-${var.x}"
}

job "web" {
  datacenters = ["dc*"]
  constraint {
    attribute = "${attr.kernel.name}"
    operator  = "regexp"
    value     = "lin.*"
  }
  update { max_parallel = 2 }
  group "g" {
    count = var.x
    network {
      dynamic "port" {
        for_each = local.ports
        labels   = [port.key]
        content { static = port.value }
      }
    }
    service {
      port = "http"
      check {
        type     = "http"
        path     = "/"
        interval = "10s"
        timeout  = "2s"
        header { Accept = ["x"] }
      }
    }
    restart { attempts = 3 }
    task "t" {
      driver = "exec"
      config {
        command = "sh"
        args    = ["-c", <<-EOF
          echo ${NOMAD_TASK_DIR} $${not} %{ if var.x > 1 }many%{ endif }
        EOF
        ]
        mount "a" { source = "b" }
      }
      env { A = local.name }
      resources {
        cpu    = 100
        memory = 64
      }
      kill_timeout = "10s"
      template {
        data        = "{{ env \"A\" }}"
        destination = "local/a"
      }
    }
  }
}
