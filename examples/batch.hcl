# A batch job ends by itself: three instances, each counts to three.
job "count-to-three" {
  type = "batch"

  group "counters" {
    count = 3

    task "count" {
      driver = "raw_exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "for i in 1 2 3; do echo $i; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
