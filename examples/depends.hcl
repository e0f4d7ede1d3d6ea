# Groups that depend on others: web is started when the two instances of api are healthy,
# api when db runs. An update that changes all of them goes the same way; stopping the job
# goes the other way.
job "shop" {
  group "db" {
    task "db" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["infinity"]
      }
    }
  }

  group "api" {
    count = 2
    depends_on "db" {
      condition = "started"
    }
    task "api" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["infinity"]
      }
    }
  }

  group "web" {
    depends_on "api" {} # healthy is the usual condition
    task "web" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["infinity"]
      }
    }
  }
}
