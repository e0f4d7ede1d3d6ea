# Tasks of a group in order: one prepares, one works, one cleans up. All share
# the directory $NOMAD_ALLOC_DIR.
job "lifecycle" {
  type = "batch"

  group "work" {
    task "prepare" {
      lifecycle {
        hook = "prestart"
      }

      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo prepared > $NOMAD_ALLOC_DIR/data/input"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }

    task "main" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "cat $NOMAD_ALLOC_DIR/data/input"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }

    task "clean" {
      lifecycle {
        hook = "poststop"
      }

      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "rm $NOMAD_ALLOC_DIR/data/input && echo cleaned"]
      }

      resources {
        cpu    = 20
        memory = 16
      }
    }
  }
}
