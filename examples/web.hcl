# A small web server in the exec driver: its own file system view, namespaces
# and limits. The port is chosen by the scheduler and told to the task.
job "web" {
  group "servers" {
    count = 2

    network {
      port "http" {}
    }

    restart {
      attempts = 3
      interval = "1m"
      delay    = "2s"
      mode     = "fail"
    }

    service {
      name     = "web"
      port     = "http"
      provider = "nomad" # Steppe's own catalogue
    }

    task "serve" {
      driver = "exec"

      config {
        command = "/usr/bin/perl"
        args    = ["-MIO::Socket::INET", "-e", <<-PERL
          my $s = IO::Socket::INET->new(LocalPort => $ENV{NOMAD_PORT_http}, Listen => 16, ReuseAddr => 1) or die "listen: $!";
          print "serving on port $ENV{NOMAD_PORT_http}\n"; $| = 1;
          while (my $c = $s->accept) {
            while (my $l = <$c>) { last if $l =~ /^\r?\n$/ }
            my $body = "hello from $ENV{NOMAD_ALLOC_NAME}\n";
            print $c "HTTP/1.0 200 OK\r\nContent-Length: ".length($body)."\r\n\r\n$body";
            close $c;
          }
        PERL
        ]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
