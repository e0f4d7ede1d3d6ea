// Command protogen generates Go code from .proto files without a protoc
// binary: it compiles the files with protocompile and feeds protoc-gen-go and
// protoc-gen-go-grpc (tools of go.mod) through their standard request protocol.
//
//	go run ./internal/protogen [-grpc=false] [-out folder] plugins/wire/base/base.proto ...
//
// Paths are relative to the module's root, as are the imports inside the files;
// the output lands beside each file, or at the same paths below the folder of
// -out. Output is deterministic.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	grpc := flag.Bool("grpc", true, "generate gRPC services too")
	out := flag.String("out", "", "folder to write to instead of the module's root")
	flag.Parse()
	if err := generate(context.Background(), flag.Args(), *grpc, *out); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

// generate compiles files and runs every generator over them.
func generate(ctx context.Context, files []string, grpc bool, out string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	if out == "" {
		out = root
	}
	request, err := compile(ctx, root, files)
	if err != nil {
		return err
	}
	generators := []string{"protoc-gen-go"}
	if grpc {
		generators = append(generators, "protoc-gen-go-grpc")
	}
	for _, g := range generators {
		if err := run(ctx, root, out, g, request); err != nil {
			return fmt.Errorf("%s: %w", g, err)
		}
	}
	return nil
}

// moduleRoot is the folder of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// compile turns files into a request that carries them after all they import.
func compile(ctx context.Context, root string, files []string) (*pluginpb.CodeGeneratorRequest, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: files,
		Parameter:      proto.String("paths=source_relative"),
	}
	seen := map[string]bool{}
	var add func(fd protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		imports := fd.Imports()
		for i := range imports.Len() {
			add(imports.Get(i).FileDescriptor)
		}
		request.ProtoFile = append(request.ProtoFile, descriptor(fd))
	}
	for _, f := range compiled {
		add(f)
	}
	return request, nil
}

// descriptor keeps the source comments, which protodesc alone would drop.
func descriptor(fd protoreflect.FileDescriptor) *descriptorpb.FileDescriptorProto {
	type withProto interface {
		FileDescriptorProto() *descriptorpb.FileDescriptorProto
	}
	if p, ok := fd.(withProto); ok {
		return p.FileDescriptorProto()
	}
	return protodesc.ToFileDescriptorProto(fd)
}

// run feeds request to one generator and writes what it answers below folder.
func run(ctx context.Context, root, folder, generator string, request *pluginpb.CodeGeneratorRequest) error {
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", generator)
	cmd.Dir, cmd.Stdin, cmd.Stderr = root, bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return fmt.Errorf("reading its answer: %w", err)
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, f := range response.File {
		path := filepath.Join(folder, filepath.FromSlash(f.GetName()))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
