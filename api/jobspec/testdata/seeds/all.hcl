job "all" {
  type     = "batch"
  priority = 70
  meta     = { a = 1 }
  ui {
    description = "x"
    link {
      label = "l"
      url   = "u"
    }
  }
  periodic { crons = ["* * * * *"] }
  parameterized { meta_required = ["a"] }
  spread {
    attribute = "${node.datacenter}"
    target "dc1" { percent = 70 }
  }
  affinity {
    attribute = "${meta.a}"
    version   = ">= 1.0"
    weight    = -50
  }
  multiregion {
    strategy { max_parallel = 1 }
    region "a" { count = 2 }
  }
  vault { policies = ["p"] }
  task "own" { driver = "exec" }
  group "g" {
    volume "v" {
      type   = "host"
      source = "s"
    }
    disconnect { lost_after = "1h" }
    ephemeral_disk { size = 500 }
    scaling {
      min = 1
      max = 5
      policy {
        check "c" {
          strategy "s" { target = 0.5 }
        }
      }
    }
    service {
      name = "s"
      connect {
        sidecar_service {
          proxy {
            upstreams {
              destination_name = "d"
              local_bind_port  = 1
            }
          }
        }
      }
    }
    task "t" {
      driver = "docker"
      lifecycle { hook = "prestart" }
      artifact {
        source = "http://x/y.zip"
        mode   = "file"
      }
      identity { file = true }
      secret "s" { provider = "p" }
      action "a" { command = "c" }
      schedule {
        cron { start = "* * * * *" }
      }
      scaling "cpu" { max = 5 }
      resources {
        cores = 2
        device "gpu" { count = 2 }
        numa { affinity = "prefer" }
        network {
          port "x" { static = 1 }
        }
      }
      logs { enabled = false }
    }
  }
}
