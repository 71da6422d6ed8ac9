# The machine's own load: a web server's log, and scalegate's decisions.
job "demo" {
  datacenters = ["dc1"]

  group "logs" {
    restart {
      attempts = 3
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    task "generator" {
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "5s"
      config {
        command = "/opt/machine/job/generator.sh"
        args    = ["2"]
      }
      env {
        TZ = "UTC"
      }
      resources {
        cpu    = 100
        memory = 32
      }
      logs {
        max_files     = 5
        max_file_size = 10
      }
    }

    task "replay" {
      driver       = "raw_exec"
      kill_signal  = "SIGTERM"
      kill_timeout = "5s"
      config {
        command = "/opt/machine/job/replay.sh"
        args    = ["/opt/machine/sample/decisions.jsonl", "2"]
      }
      env {
        TZ = "UTC"
      }
      resources {
        cpu    = 100
        memory = 32
      }
      logs {
        max_files     = 5
        max_file_size = 10
      }
    }
  }
}
