#include "tools/hinge/commands.h"

int main(int argc, char** argv) { return hinge::cli::run_program(argc, argv); }
