# The localizer on ROS 2 Jazzy. The arguments of `docker run` are those of localize.launch.py:
#
#   docker build --tag caldiff_ros .
#   docker run --rm --network host --volume "$PWD/my_map:/map:ro" caldiff_ros \
#       map:=/map image:=/camera/image_raw camera_info:=/camera/camera_info

# What apt brings; the development container ends here.
FROM ros:jazzy AS dependencies
COPY package.xml /tmp/caldiff_ros/
# without RViz, which would need a screen
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-dev python3-pip python3-venv \
    && rosdep update --rosdistro jazzy \
    && rosdep install --from-paths /tmp/caldiff_ros --ignore-src --rosdistro jazzy --default-yes \
        --skip-keys rviz2 \
    && rm -rf /var/lib/apt/lists/*

FROM dependencies
WORKDIR /opt/caldiff_ros
COPY . .
RUN . /opt/ros/jazzy/setup.sh && PIP_NO_CACHE_DIR=1 make setup
ENTRYPOINT ["/bin/bash", "-c", "source install/setup.bash && exec ros2 launch caldiff_ros localize.launch.py \"$@\"", "caldiff_ros"]
