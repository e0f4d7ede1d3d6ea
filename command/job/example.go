package job

const exampleShort = `job "example" {
  group "app" {
    count = 1

    task "hello" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo hello from $NOMAD_ALLOC_NAME; sleep 1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
`

const exampleLong = `# A job is what you want to run. Its name is unique in its namespace.
job "example" {
  # service: runs until it is stopped. Others: batch (runs to its end), system
  # (one on every node), sysbatch.
  type = "service"

  # A new version replaces one instance after the other, each when the one
  # before has run for this time.
  update {
    max_parallel     = 1
    min_healthy_time = "2s"
  }

  # A group is a set of tasks that run together on one node, count times.
  group "app" {
    count = 1

    # What to do when a task ends though it should run.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    # A task is one process. raw_exec runs it as it is; exec confines it.
    task "hello" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "while true; do echo $GREETING from $NOMAD_ALLOC_NAME; sleep 1; done"]
      }

      env {
        GREETING = "hello"
      }

      # What the task may use: MHz of processor, MB of memory.
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
`
